"""What a process needs from its machine: files, devices, processes, memory, safe pickles, the frame of HTML pages."""
