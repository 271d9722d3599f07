"""How many tokens the engine guesses ahead, and by whom: scenes, windows, chances, costs, and the choice for each step.

None of it can change an answer, only when it comes. Torch is needed by model_drafter.py alone; what device and cloud
share is edgewise.speculation.
"""
