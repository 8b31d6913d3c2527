"""What a person reaches without archbench: one of timm's networks, from scratch, in fifty lines.

python benchmarks/photos/plain_timm.py NETWORK FOLDER --resolution 64 --cpu-seconds 2400
"""

import argparse
import json
import time

import timm
import torch
from timm.data import Mixup, create_transform
from timm.loss import SoftTargetCrossEntropy
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

parser = argparse.ArgumentParser()
parser.add_argument("network")
parser.add_argument("folder", help="with train/CLASS and test/CLASS")
parser.add_argument("--resolution", type=int, default=64)
parser.add_argument("--cpu-seconds", type=float, default=2400)
parser.add_argument("--seed", type=int, default=0)
given = parser.parse_args()
torch.manual_seed(given.seed)
torch.set_num_threads(1)
augmented = create_transform(
    given.resolution, is_training=True, scale=(0.35, 1.0), auto_augment="rand-m7-inc1"
)
plain = create_transform(given.resolution, crop_pct=1.0)
train = ImageFolder(f"{given.folder}/train", augmented)
test = DataLoader(ImageFolder(f"{given.folder}/test", plain), batch_size=250)
images = DataLoader(train, batch_size=128, shuffle=True, drop_last=True)
mixup = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, prob=0.5, num_classes=len(train.classes))
kwargs = {"img_size": given.resolution} if given.network.startswith("levit") else {}
network = timm.create_model(given.network, num_classes=len(train.classes), **kwargs)
optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
loss_of, epochs = SoftTargetCrossEntropy(), 0
while time.process_time() < given.cpu_seconds:
    for batch, labels in images:
        share = min(1.0, time.process_time() / given.cpu_seconds)  # of the time, for the cosine
        rate = min(share / 0.02, 1.0) * (1 + torch.cos(torch.tensor(torch.pi * share)).item()) / 2
        optimizer.param_groups[0]["lr"] = 2e-3 * max(rate, 1e-3)
        with torch.autocast("cpu", torch.bfloat16):
            mixed, targets = mixup(batch, labels)
            loss = loss_of(network(mixed), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    epochs += 1
network.eval()
with torch.no_grad():
    hits = sum(int((network(x).argmax(1) == y).sum()) for x, y in test)
print(json.dumps({**vars(given), "epochs": epochs, "test_accuracy": hits / len(test.dataset)}))
