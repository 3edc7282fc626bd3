"""OpenMM: forces and energies of charged particles in a box, and some steps of their motion, in double precision."""
import openmm
from openmm import unit

system = openmm.System()
forces = openmm.NonbondedForce()
forces.setNonbondedMethod(openmm.NonbondedForce.PME)
forces.setCutoffDistance(0.9)
bonds = openmm.HarmonicBondForce()
system.setDefaultPeriodicBoxVectors((2, 0, 0), (0, 2, 0), (0, 0, 2))
places = []
for number in range(125):
    system.addParticle(20.0)
    forces.addParticle(0.2 if number % 2 else -0.2, 0.25, 0.3)
    places.append((0.4 * (number % 5) + 0.01 * (number % 3), 0.4 * (number // 5 % 5), 0.4 * (number // 25)))
for number in range(0, 120, 10):
    bonds.addBond(number, number + 1, 0.38, 1000.0)
system.addForce(forces)
system.addForce(bonds)
platform = openmm.Platform.getPlatformByName("OpenCL")
motion = openmm.VerletIntegrator(0.001)
context = openmm.Context(system, motion, platform, {"Precision": "double"})
context.setPositions(places)
for steps in (0, 20):
    motion.step(steps)
    state = context.getState(getEnergy=True, getForces=True, getPositions=True)
    print(steps, f"{state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole):.6f}",
          f"{state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole):.6f}")
    for force in state.getForces()[::25]:
        print(" ".join(f"{part:.4f}" for part in force.value_in_unit(unit.kilojoule_per_mole / unit.nanometer)))
