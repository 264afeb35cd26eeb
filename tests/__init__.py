"""The tests mirror the packages; each states a promise."""
