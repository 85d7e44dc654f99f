"""Potentials trained with other programs, read from their files and written as artefacts.

Needs torch and the program that made the file, both imported where they are used: importing this
package costs nothing, and an artefact, once written, needs neither.

``files`` recognises and opens a file, ``mace`` and ``nequip`` (with ``gnn`` and ``allegro``) read
what is in it, ``oracles`` evaluates the original, ``check`` compares, ``conversion`` is all of it.
"""
