"""What is trained instead of a prompt, one file each; what is kept is the prompt it stands for."""
