"""Requests of the page and the API: workspaces, settings and one queue of jobs."""
