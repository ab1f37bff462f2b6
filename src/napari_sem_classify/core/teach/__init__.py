"""Annotations in, a head and its honest score out."""
