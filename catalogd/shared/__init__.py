"""What the processes of one server share beside files: made before they part, and gone with the last of them."""
