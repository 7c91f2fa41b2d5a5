"""What AUTOMATIC1111's WebUI and the programs made from it share: queue, pictures, Lora folder."""
