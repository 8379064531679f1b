"""Tests, in folders by cost."""
