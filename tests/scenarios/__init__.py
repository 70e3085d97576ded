"""Whole commands on their worst day: faults, kills, races, credentials that end."""
