"""Another server as a TextGenerator: one file for each kind of server, one way to ask all of them."""
