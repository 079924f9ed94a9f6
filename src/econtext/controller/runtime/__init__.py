"""What runs everything else: the loop, its timers, and signals held off. Imports nothing of the layers below."""
