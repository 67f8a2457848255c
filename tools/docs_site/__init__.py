"""What `mkdocs build` adds to the pages of docs/: pages made from the code, and equations."""
