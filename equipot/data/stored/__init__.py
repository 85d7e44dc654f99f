"""Structures that stay on the disk: a folder of arrays mapped into memory."""
