"""Other programs that run a potential, one file for each; imported when they are used."""
