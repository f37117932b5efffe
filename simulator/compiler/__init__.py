"""What a compiler changes of a program before it is scheduled, where public measurements show it."""
