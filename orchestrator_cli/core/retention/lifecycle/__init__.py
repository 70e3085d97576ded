"""A bucket's lifecycle rules: those that a policy asks for, and how they are read and changed.

It must not know what the rules cost, nor which objects they have archived.
"""
