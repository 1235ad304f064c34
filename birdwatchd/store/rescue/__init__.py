"""Mend a home: find what is wrong with it, save rows of a damaged database, and make rows of pictures and clips."""
