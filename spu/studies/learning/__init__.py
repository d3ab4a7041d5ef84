"""What is learnt, and what becomes of it: training, what trained networks do, and the hardware they run on."""
