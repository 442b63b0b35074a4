"""Machine translation of names and sentences: back ends behind one protocol, and a cache of their answers."""
