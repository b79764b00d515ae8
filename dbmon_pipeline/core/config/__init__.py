"""Configuration: the structs and the loader of the rules file, and the settings of a process."""
