"""How many boards are good: tolerances, corners, yield, and what a wanted yield takes.

``metrics`` are what boards are judged by; ``boards`` what is known exactly of them.
"""
