"""Rules of the repository itself: tidiness, and what the book says."""
