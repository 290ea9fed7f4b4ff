"""Sources: a location to a whole local folder, whatever its place does."""
