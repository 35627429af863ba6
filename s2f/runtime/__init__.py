"""What a process needs from its machine: files, devices, processes, memory."""
