"""Networks and their engines: tiles in, features out, kept in a cache."""
