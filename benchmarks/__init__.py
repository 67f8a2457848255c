"""Commands that measure what the documentation claims, in folders by room."""
