"""The container registry that the catalog describes: followed, read, and told who may do what."""
