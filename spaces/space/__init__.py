"""The parts of the Space. None of them needs more than requirements.txt beside app.py names."""
