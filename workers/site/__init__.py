"""The published site: names, the posts table, the publishing contract, pages, and reading them back."""
