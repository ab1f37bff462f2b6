"""What all docks share: session, work off the main thread, words."""
