"""A declarative Jenkinsfile."""

from __future__ import annotations

from string import Template

from orchestrator_cli.infrastructure.ci.steps import CiJob, begin, store, test
from orchestrator_cli.infrastructure.target import BucketTarget

_LABELS = {"commit": "${GIT_COMMIT-}", "url": "${BUILD_URL-}"}
# The result of an aborted build is `error`, because its tests did not finish.
_FILE = Template("""\
// Jenkinsfile
pipeline {
  agent any
  environment {
    ORCHESTRATOR_BUCKET = '$bucket'
    AWS_REGION = '$region'
  }
  stages {
    stage('Test') {
      steps {
        sh(returnStatus: true, script: '''$begin''')
        sh '''$test'''
      }
    }
  }
  post {
    always {
      script {
        def results = [SUCCESS: 'pass', UNSTABLE: 'fail', FAILURE: 'fail']
        withEnv(["RESULT=$${results.get(currentBuild.currentResult, 'error')}"]) {
          sh(returnStatus: true, script: '''$store''')
        }
      }
    }
  }
}
""")


def render_jenkins(target: BucketTarget, job: CiJob) -> str:
    """Return a pipeline that stores the output even if it is aborted; storing may fail."""
    return _FILE.substitute(
        bucket=target.bucket,
        region=target.region,
        begin=_groovy(begin(job)),
        # Jenkins runs a script without a #! line with -x, and that trace is not test output.
        test=_groovy(f"#!/bin/sh -e\n{test(job)}"),
        store=_groovy(store(job, _LABELS)),
    )


def _groovy(script: str) -> str:
    """Return a script as the content of a Groovy string in triple single quotes."""
    return script.replace("\\", "\\\\").replace("'", "\\'")
