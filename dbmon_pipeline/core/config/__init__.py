"""The rules file: its structs, its loader, and the settings of a process."""
