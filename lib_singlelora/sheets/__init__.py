"""Drawing of sheets, charts and the page that shows them."""
