"""What happens when a process ends, raises, sleeps or is not heard at any one place of the code."""
