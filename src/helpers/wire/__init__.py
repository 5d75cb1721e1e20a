"""What goes over the wire: a decoder for the bytes of a connection, and a tap to put in front of a server."""
