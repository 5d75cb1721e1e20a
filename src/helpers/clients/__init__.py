"""Clients of the servers in the notebook: models without a view."""
