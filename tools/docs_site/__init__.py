"""Extensions of `mkdocs build`: pages generated from the code, and equations."""
