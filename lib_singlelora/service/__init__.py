"""What the page and the API ask for: workspaces, settings and one queue of jobs."""
