"""What the tests of deadlines and faults call in contexts of every Python."""
