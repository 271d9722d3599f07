"""What the device knows of itself, how often it is asked, and where records wait until the gateway has stored them."""
