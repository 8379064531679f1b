"""Survival: this fleet and plain Celery under the same load and harm, counted by a witness outside of both."""
