"""The shape of what each command prints with --json: models, and JSON Schema made from them.

It must not know how anything is printed; tests hold the output of every command against it.
"""
