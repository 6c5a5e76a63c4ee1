"""Networks: pretrained weights, exits, training, distillation and tuning."""
