"""Class maps, in memory and as files, alone and several beside each other."""
