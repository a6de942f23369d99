"""What is called as eps(x, t, c), the classifiers, and what loads both from files."""
