"""What `reach.py` is made of: cases, processes that take turns, floors, tables."""
