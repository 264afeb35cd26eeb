"""Every setting, with its named limit and default: read once, at start, into frozen groups.

Owns: the variables of the environment, their groups by slice, and the environment of a child.
Keeps: nothing of its own; limits that promises rely on have their bounds here.
Does not: open, make or decide anything; what the settings describe is made in the composition.
"""

from command_api.settings.all import Settings

__all__ = ["Settings"]
