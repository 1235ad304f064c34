"""Do what somebody asks for by a button and what takes a while, in a process of its own: the page does not wait for it,
loads nothing of what it takes, and outlives it.
"""
