"""What is seen and clicked in a notebook: views only, the models are in the rooms below."""
