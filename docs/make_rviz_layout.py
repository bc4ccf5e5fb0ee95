# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print the 'QMainWindow State' of config/depth.rviz: where rviz puts its panels.

    QT_QPA_PLATFORM=offscreen python docs/make_rviz_layout.py

rviz keeps the layout of its window as Qt writes it (QMainWindow::saveState). This builds a window
with the docks and the tool bar of rviz by their names, lays them out and prints the state. Without
it the order of the docks is that in which rviz's displays happen to be created. Needs PyQt5.
"""

from __future__ import annotations

from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QApplication, QDockWidget, QLabel, QMainWindow

WIDTH, HEIGHT = 1500, 940

# From top to bottom, with their heights in pixels.
DOCKS = {"Camera image": 300, "Depth": 300, "Displays": 240}
COLUMN = 460


def main() -> None:
    """Lay out the window and print its state."""
    application = QApplication([])
    window = QMainWindow()
    window.resize(WIDTH, HEIGHT)
    tools = window.addToolBar("Tools")
    tools.setObjectName("Tools")
    tools.addAction("Interact")
    window.setCentralWidget(QLabel())
    docks = []
    for name in DOCKS:
        dock = QDockWidget(name)
        dock.setObjectName(name)
        dock.setWidget(QLabel())
        window.addDockWidget(Qt.LeftDockWidgetArea, dock)
        docks.append(dock)
    window.show()
    window.resizeDocks(docks, list(DOCKS.values()), Qt.Vertical)
    window.resizeDocks(docks[:1], [COLUMN], Qt.Horizontal)
    application.processEvents()
    print(bytes(window.saveState().toHex()).decode())


if __name__ == "__main__":
    main()
